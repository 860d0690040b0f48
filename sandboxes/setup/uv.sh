# Put uv where the official images have it, at the root and in /usr/local/bin, from the package index.
pip install --quiet --root-user-action ignore --no-cache-dir uv
for name in uv uvx; do
    ln "/usr/local/bin/$name" "/$name"
done
uv --version
