"""What the student is shown again of former images: a file per kind, behind one interface (``interface.py``)."""
