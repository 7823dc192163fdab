"""From plain images to an annotated folder: captions, noun phrases, boxes, masks."""
