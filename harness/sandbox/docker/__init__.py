"""The Docker sandbox: images, containers, sessions and files through the Engine API."""
