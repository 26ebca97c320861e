# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayctl: arguments and printing; libbelay-admin does the rest. All but main() is a
# library, for tests/unit/ctl_*.c.

CTL_LIBS := static:belay-common pkg:smartcols pkg:jansson

$(call static_library,belay-ctl,ctl/command.c ctl/connection.c ctl/format.c ctl/json.c \
	ctl/exists.c ctl/limit.c ctl/list.c ctl/parse.c ctl/progress.c ctl/recall.c ctl/reload.c \
	ctl/select.c ctl/status.c ctl/table.c ctl/vmstat.c,$(CTL_LIBS))
$(call program,belayctl,ctl/main.c,static:belay-ctl shared:belay-admin $(CTL_LIBS),bin)
