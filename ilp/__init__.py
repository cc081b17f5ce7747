"""placeholder"""

CYCLEWRIGHT_PACKAGE = "0.1.0"
