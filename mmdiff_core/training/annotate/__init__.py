"""From plain pictures to an annotated folder: captions, noun phrases, boxes, masks."""
