# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Examples are built, so that they stay right, and run by tests and the demo;
# they are not installed. Outside of this tree:
#   cc hello.c $(pkg-config --cflags --libs belay)
#   cc exporter.c $(pkg-config --cflags --libs belay-admin)

$(call program,hello,examples/hello.c,shared:belay)
$(call program,stale,examples/stale.c,shared:belay)
$(call program,exporter,examples/exporter.c,shared:belay-admin)
$(call program,rdma-sink,examples/rdma-sink.c examples/rdma.c,shared:belay pkg:libibverbs)
$(call program,rdma-source,examples/rdma-source.c examples/rdma.c,shared:belay pkg:libibverbs)
