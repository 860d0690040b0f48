"""Fakes that are products: a strict loopback model server and the scripted players that it plays."""
