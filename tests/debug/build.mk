# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Suite debug, a part of "make check-debug" and "make check-races": the kernels that look
# at themselves.

$(call host_script,debug,tests/debug/notices,kernel=debug timeout=300)
$(call host_script,debug,tests/debug/notices_races,kernel=kcsan timeout=300)
