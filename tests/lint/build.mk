# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors

$(call host_script,lint,tests/lint/shell)
$(call host_script,lint,tests/lint/module,timeout=300)
$(call host_script,lint,tests/lint/manual)
$(call host_script,lint,tests/lint/licences)
$(call host_script,lint,tests/lint/recipes)
$(call host_script,lint,tests/lint/floors)
