"""Where the method fails: look-alikes, tiny subjects, unseen classes and photos unlike the toy world."""
