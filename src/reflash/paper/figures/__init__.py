"""The paper's figures, one module each, and how a figure is written and drawn again.

``registry`` finds a figure by name; ``style`` holds colours and sizes; ``drawing`` the files;
``crops``, ``channel_maps``, ``placements``, ``positions`` and ``ranked`` what several share.
"""
