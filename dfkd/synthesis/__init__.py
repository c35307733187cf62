"""Where synthetic images come from: a file per kind, behind one interface (``interface.py``)."""
