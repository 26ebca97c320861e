# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# libbelay-admin: what belayctl and other tools of administrators link.

LIBADMIN_SRC := $(addprefix libadmin/,handle.c connection.c list.c recall.c requests.c structs.c)

# Only what belay-admin.h declares is visible; see internal.h.
$(foreach f,$(LIBADMIN_SRC),$(eval CFLAGS_$(f) := -fvisibility=hidden))

$(call library,belay-admin,$(LIBADMIN_SRC),static:belay-common,0,libadmin/libbelay-admin.map)
$(call install_file,include/belay-admin.h,$(INCLUDEDIR)/belay-admin.h)
$(call install_template,libadmin/libbelay-admin.pc.in,$(LIBDIR)/pkgconfig/belay-admin.pc)
