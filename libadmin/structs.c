// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * structs.c - the program's structs, which may be of another release
 *
 * Each begins with its size. A longer one than this library knows is a later release's:
 * what is given must be zero in the part that nobody here can obey; what is filled in is
 * zero there. The least size is that of the first release (..._SIZE_VER0, up to its last
 * member then): what a shorter struct than today's lacks counts as zero, and what an older
 * program has no room for is left out.
 */
#include <string.h>

#include "libadmin/internal.h"

/* More than a page is a mistake, not a later release. */
#define SIZE_MAX_KNOWN	4096

static size_t size_of(const void *given)
{
	size_t size;

	memcpy(&size, given, sizeof(size));
	return size;
}

static bool is_size(size_t size, size_t least)
{
	return size >= least && size <= SIZE_MAX_KNOWN;
}

static size_t shorter(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Copies what the program gives. */
int bl_admin_take(struct belay_admin *a, const char *name, const void *given, void *ret,
		  size_t known, size_t least)
{
	const char *p = given;
	size_t i;

	if (!given || !is_size(size_of(given), least))
		return bl_admin_fail(a, -EINVAL, "%s: the size of the struct is not set, or wrong",
				     name);
	for (i = known; i < size_of(given); i++)
		if (p[i])
			return bl_admin_fail(a, -EINVAL, "%s: libbelay-admin %s is older, and does "
					     "not know something that is set", name, BELAY_VERSION);
	memset(ret, 0, known);
	memcpy(ret, given, shorter(size_of(given), known));
	return 0;
}

/* Of one that is to be filled in. */
int bl_admin_check_size(struct belay_admin *a, const void *given, size_t least)
{
	if (given && is_size(size_of(given), least))
		return 0;
	return bl_admin_fail(a, -EINVAL,
			     "the size of the struct to be filled in is not set, or wrong");
}

/* Fills in one whose size has been checked. */
void bl_admin_give(void *ret, const void *from, size_t known)
{
	size_t size = size_of(ret);

	memset(ret, 0, size);
	memcpy(ret, from, shorter(size, known));
	memcpy(ret, &size, sizeof(size));
}

/* The bits are the protocol's. */
_Static_assert(BELAY_ADMIN_BY_PROCESS == BL_BY_PROCESS && BELAY_ADMIN_BY_USER == BL_BY_USER &&
	       BELAY_ADMIN_BY_ACCOUNT == BL_BY_ACCOUNT && BELAY_ADMIN_BY_GRANT == BL_BY_GRANT &&
	       BELAY_ADMIN_BY_REGION == BL_BY_REGION && BELAY_ADMIN_BY_NODE == BL_BY_NODE &&
	       BELAY_ADMIN_BY_BLOCK == BL_BY_BLOCK && BELAY_ADMIN_BY_FILE == BL_BY_FILE &&
	       BELAY_ADMIN_BY_AGE == BL_BY_AGE && BELAY_ADMIN_BY_LASTING == BL_BY_LASTING &&
	       BELAY_ADMIN_BY_TRANSIENT == BL_BY_TRANSIENT, "selections as in the protocol");
_Static_assert(BELAY_ADMIN_BY_OF_ACCOUNT == BL_BY_OF_ACCOUNT &&
	       BELAY_ADMIN_BY_OF_GRANT == BL_BY_OF_GRANT, "sets of selections, too");
#define BY_ALL	(BL_BY_OF_GRANT | BL_BY_REGION | BL_BY_NODE | BL_BY_BLOCK | BL_BY_FILE | \
		 BL_BY_AGE | BL_BY_LASTING | BL_BY_TRANSIENT)

int bl_admin_selection(struct belay_admin *a, const struct belay_admin_selection *given,
		       struct bl_selection *ret)
{
	struct belay_admin_selection s;
	int err = bl_admin_take(a, "selection", given, &s, sizeof(s),
				SELECTION_SIZE_VER0);

	if (err)
		return err;
	if (s.by & ~BY_ALL)
		return bl_admin_fail(a, -EINVAL, "selection: unknown bits 0x%x in by",
				     s.by & ~BY_ALL);
	if (s.by & BL_BY_ACCOUNT && (!s.account || strlen(s.account) >= BL_NAME_MAX))
		return bl_admin_fail(a, -EINVAL, "selection: no account, or a name that is too long");
	*ret = (struct bl_selection){
		.by = s.by,
		.pid = s.pid,
		.uid = s.uid,
		.node = s.node,
		.region = s.region,
		.grant = s.grant,
		.block = s.block,
		.device = s.device,
		.inode = s.inode,
		.made_before = s.made_before,
	};
	if (s.by & BL_BY_ACCOUNT)
		memcpy(ret->account, s.account, strlen(s.account));
	return 0;
}
