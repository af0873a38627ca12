"""The methods, one file each.

All but diayn run the program of ``explorax.meta_update``; a file says which settings make that
program the paper's method, and where its equations stand. Some of MetaConfig's defaults are ours,
not a paper's: ppo, alpha 3 for mu, mu ~ N(0, 0.1^2). experiments/presets.py has the MAESN paper's.
"""
