"""Models of all makers behind one port."""
