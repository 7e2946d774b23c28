"""The same diffusion mathematics in independent writings: no false alarm."""
