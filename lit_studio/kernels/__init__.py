"""Kernels that outlive the page, the network and the server: their keepers, journals and adoption.

It must not know jupyter-server, notebooks' pages or torch.
"""
