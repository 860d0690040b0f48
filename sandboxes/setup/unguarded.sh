# Releases before Debian 12 and Ubuntu 23.04 let pip install beside the distribution's packages; Debian's file that
# forbids it arrives only with python3, so the diversion is made ahead of it.
dpkg-divert --quiet --local --rename --add "/usr/lib/python$PYTHON_VERSION/EXTERNALLY-MANAGED"
