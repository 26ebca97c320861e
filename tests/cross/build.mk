# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Suite cross: what is compiled for other architectures, and not run.

$(call host_script,cross,tests/cross/module-arm64,timeout=900)
$(call host_script,cross,tests/cross/module-s390x,timeout=900)
