"""The methods, one file each.

All but diayn run the program of ``explorax.meta_update``; a file says which settings make that
program the paper's method, and where its equations stand.
"""
