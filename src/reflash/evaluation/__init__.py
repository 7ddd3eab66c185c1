"""Judging and using a network: PSNR and SSIM on 8-bit images, tiled inference, test-set tables.

``metrics`` and ``upscalers`` need no torch; ``inference`` runs networks within bounded memory;
``evaluate`` makes the tidy per-image table; ``upscale`` upscales a user's own images.
"""
