# SPDX-License-Identifier: MIT
#
# Suite debug, a part of "make check-debug": the debug kernel itself.

$(call host_script,debug,tests/debug/notices,timeout=300)
