"""The tour: one interactive page that walks through Swin on a picture, every number and drawing computed by the library for it."""
