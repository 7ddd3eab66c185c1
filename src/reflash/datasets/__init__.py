"""Images in and out, dead leaves, sample photographs, named datasets and their verification.

Everything here works on uint8 arrays with numpy, Pillow and OpenCV; nothing imports torch.
"""
