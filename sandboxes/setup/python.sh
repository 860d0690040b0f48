# Make the distribution's Python stand where the official image's does: /usr/local/bin/python with a pip of its
# own, packages in /usr/local/lib/pythonX.Y/site-packages, and no guard against installing them.
version="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
library="/usr/local/lib/python$version"
mkdir -p "$library"
rm -rf "$library/dist-packages"
mkdir "$library/site-packages"
ln -s site-packages "$library/dist-packages"
dpkg-divert --quiet --local --rename --add "/usr/lib/python$version/EXTERNALLY-MANAGED"
# `pip install --prefix=/p` is to fill /p/lib/pythonX.Y/site-packages, as upstream; the distribution's is /p/local/….
layout="$(python3 -c 'import sysconfig; print(sysconfig.__file__)')"
sed -i "/^def _expand_vars(scheme, vars):/a\\    if scheme == 'posix_local' and (vars or {}).get('base', sys.prefix) != sys.prefix: scheme = 'posix_prefix'" "$layout"
python3 -c "
import sysconfig
at = sysconfig.get_path('purelib', sysconfig.get_preferred_scheme('prefix'), {'base': '/p'})
assert at == '/p/lib/python$version/site-packages', at"
for name in python python3 "python$version"; do
    ln -s "/usr/bin/python$version" "/usr/local/bin/$name"
done

wheels=/usr/share/python-wheels
PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels" PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1 \
    python "$(ls $wheels/pip-*.whl)/pip" install --quiet --no-warn-script-location $PIP_PACKAGES

python --version
pip --version
