# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors

$(call host_script,harness,tests/harness/runner)
$(call host_script,harness,tests/harness/repeat)
$(call host_script,harness,tests/harness/plan)
$(call host_script,harness,tests/harness/images,timeout=300)
$(call host_script,harness,tests/harness/fresh,timeout=1500)
$(call host_script,harness,tests/harness/install)
$(call host_script,harness,tests/harness/dkms,timeout=180)
$(call host_script,harness,tests/harness/dkms13,timeout=300)
$(call host_script,harness,tests/harness/probes,timeout=600)
$(call host_script,harness,tests/harness/setup)
$(call host_script,harness,tests/harness/front,timeout=180)
$(call host_script,harness,tests/harness/dist,timeout=600)
$(call host_script,harness,tests/harness/machine,timeout=600)
$(call host_script,harness,tests/harness/machine-6.1,kernel=6.1 timeout=600)
$(call host_script,harness,tests/harness/machine-6.12,kernel=6.12 timeout=600)
$(call host_script,harness,tests/harness/machine-newest,kernel=newest timeout=600)
