"""Sandboxes: adapters that start containers, and what of the host reaches them."""
