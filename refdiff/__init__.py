"""Chan's Tutorial on Diffusion Models for Imaging and Vision, as executable mathematics.

Read the modules in the order of the chapters; `refdiff show 2.25` finds an equation.
"""
