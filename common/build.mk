# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# What daemon, library and command share.

$(call static_library,belay-common,common/message.c common/packet.c common/proc.c common/reason.c common/units.c)
