# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Manual pages. tests/unit/manual_complete.sh checks that nothing is left out.

$(call install_man,$(wildcard man/*.[345678]))
