# Make the distribution's Python stand where the official image's does: /usr/local/bin/python with a pip of its
# own, packages in /usr/local/lib/pythonX.Y/site-packages, and no guard against installing them.
version="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
library="/usr/local/lib/python$version"
mkdir -p "$library"
rm -rf "$library/dist-packages"
mkdir "$library/site-packages"
ln -s site-packages "$library/dist-packages"
dpkg-divert --quiet --local --rename --add "/usr/lib/python$version/EXTERNALLY-MANAGED"
for name in python python3 "python$version"; do
    ln -s "/usr/bin/python$version" "/usr/local/bin/$name"
done

wheels=/usr/share/python-wheels
PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels" PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1 \
    python "$(ls $wheels/pip-*.whl)/pip" install --quiet --no-warn-script-location $PIP_PACKAGES

python --version
pip --version
