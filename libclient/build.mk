# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# libbelay: what programs link.

LIBCLIENT_SRC := $(addprefix libclient/,session.c descriptor.c connection.c region.c revoke.c table.c trim.c \
	validity.c limits.c refusal.c thread.c kernel.c)

# Only what belay.h declares is visible; see internal.h.
$(foreach f,$(LIBCLIENT_SRC),$(eval CFLAGS_$(f) := -fvisibility=hidden -pthread))

# Not unloaded (nodelete): a helper thread may be running in it.
$(call library,belay,$(LIBCLIENT_SRC),static:belay-common -pthread -Xlinker -z -Xlinker nodelete,0,libclient/libbelay.map)
$(call install_file,include/belay.h,$(INCLUDEDIR)/belay.h)
$(call install_file,include/uapi/linux/belay.h,$(INCLUDEDIR)/linux/belay.h)
$(call install_template,libclient/libbelay.pc.in,$(LIBDIR)/pkgconfig/belay.pc)
