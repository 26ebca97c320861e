# SPDX-License-Identifier: MIT
#
# Each folder that has unit tests appends its own lines.

# common
$(call unit_test,common_units,tests/unit/common_units.c,static:belay-common)
$(call unit_test,common_message,tests/unit/common_message.c,static:belay-common)
