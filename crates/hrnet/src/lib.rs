//! High-resolution networks: points, masks and classes from images.
