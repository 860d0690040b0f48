# Put Node.js and npm where the official image has them, from the npm registry, checked by digest.
# Needs only apt, whose own downloader knows the container's proxies and authorities.
registry="${NPM_CONFIG_REGISTRY:-https://registry.npmjs.org}"
registry="${registry%/}"
case "$(uname -m)" in
    x86_64) platform=x64 digest="$NODE_X64_SHA512" ;;
    aarch64) platform=arm64 digest="$NODE_ARM64_SHA512" ;;
    *) echo "No Node.js is known for $(uname -m)." >&2; exit 1 ;;
esac

# unpack NAME VERSION SHA512 FOLDER: one package of the registry into a folder.
unpack() {
    /usr/lib/apt/apt-helper download-file "$registry/$1/-/$1-$2.tgz" /tmp/package.tgz "SHA512:$3"
    mkdir -p "$4"
    tar -xzf /tmp/package.tgz -C "$4" --strip-components=1 --no-same-owner
    rm /tmp/package.tgz
}

unpack "node-linux-$platform" "$NODE_VERSION" "$digest" /tmp/node
cp -r /tmp/node/bin /tmp/node/include /tmp/node/share /usr/local/ 2>/dev/null || cp -r /tmp/node/bin /usr/local/
rm -r /tmp/node
chmod 755 /usr/local/bin/node
ln -s node /usr/local/bin/nodejs
unpack npm "$NPM_VERSION" "$NPM_SHA512" /usr/local/lib/node_modules/npm
for name in npm npx; do
    chmod 755 "/usr/local/lib/node_modules/npm/bin/$name-cli.js"
    ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"
done
groupadd --gid 1000 node
useradd --uid 1000 --gid node --shell /bin/bash --create-home node
node --version
npm --version
