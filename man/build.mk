# SPDX-License-Identifier: MIT
#
# Manual pages. tests/unit/manual_complete.sh checks that nothing is left out.

$(call install_man,$(wildcard man/*.[345678]))
