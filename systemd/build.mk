# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Where systemd, udev and kmod look for what belay gives them.

$(call install_template,systemd/belayd.service,$(UNITDIR)/belayd.service)
$(call install_file,systemd/belayd.socket,$(UNITDIR)/belayd.socket)
$(call install_file,systemd/sysusers.conf,$(SYSUSERSDIR)/belay.conf)
$(call install_file,systemd/tmpfiles.conf,$(TMPFILESDIR)/belay.conf)
$(call install_file,systemd/udev.rules,$(UDEVDIR)/70-belay.rules)
$(call install_file,systemd/modules-load.conf,$(MODLOADDIR)/belay.conf)
