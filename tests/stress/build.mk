# SPDX-License-Identifier: MIT
#
# Suite stress: the module under everything at once. It is run on the debug kernel
# ("make check-debug"), whose reports are what it is after, and by hand on the others.
# The programs speak the module's ABI as those of suite kernel do, with the same lib/.
