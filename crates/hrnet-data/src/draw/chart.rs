//! Curves, bars and matrices, as pictures and as SVG.
