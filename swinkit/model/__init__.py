"""The mathematics of Swin Transformers, with torch alone."""
