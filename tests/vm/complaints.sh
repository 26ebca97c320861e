# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# complaints FILE...: the lines in which a kernel says that something is wrong with
# it. Used by the host on the whole log, and in the machine after each test.
complaints()
{
	grep -haE \
		-e 'BUG:|kernel BUG at|WARNING:|Oops|[Gg]eneral protection|[Uu]nable to handle' \
		-e 'Kernel panic|blocked for more than|KASAN:|UBSAN:|KCSAN:|soft lockup' \
		-e 'hard LOCKUP|rcu.*(stall|starved)|suspicious RCU|circular locking' \
		-e 'recursive locking|inconsistent lock state|lock held when returning' \
		-e 'Bad page|bad page|list_(add|del) corruption|refcount_t:' \
		-e 'detector disabled|kmemleak_object|kmemleak: Memory pool|ODEBUG.*disabled' \
		-e 'pagealloc: |BUG [^ ]+ \(' \
		-e 'unreferenced object|new suspected memory leaks|scheduling while atomic' \
		-e 'sleeping function called|stack-protector|invalid opcode: ' "$@"
}
