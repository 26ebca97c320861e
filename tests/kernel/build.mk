# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Suite kernel: belay.ko through its ioctls, by root, without daemon and library.
# One program per topic; what they share is in lib/.

K := tests/kernel
K_LIB := $(addprefix $(K)/lib/,bk.c bk_memory.c bk_proc.c)

$(call vm_test,kernel,charging,$(K)/charging.c $(K_LIB),,timeout=180)
$(call vm_test,kernel,limits,$(K)/limits.c $(K_LIB),,races timeout=180)
$(call vm_test,kernel,region_cap,$(K)/region_cap.c $(K_LIB),,long timeout=180)
$(call vm_test,kernel,stale,$(K)/stale.c $(K_LIB),,races timeout=600)
$(call vm_test,kernel,histories,$(addprefix $(K)/histories,.c _world.c _space.c _file.c _actor.c _truth.c) $(K_LIB),-pthread,timeout=600)
$(call vm_test,kernel,spurious,$(K)/spurious.c $(K_LIB),,ci timeout=180)
$(call vm_test,kernel,lost,$(K)/lost.c $(K_LIB),,ci timeout=120)
$(call vm_test,kernel,trim,$(K)/trim.c $(K_LIB),,timeout=180)
$(call vm_test,kernel,watched,$(K)/watched.c $(K_LIB),,timeout=120)
$(call vm_test,kernel,unmapped,$(K)/unmapped.c $(K_LIB),,timeout=180)
$(call vm_test,kernel,storms,$(K)/storms.c $(K_LIB),,timeout=400)
$(call vm_test,kernel,nobody_waits,$(K)/nobody_waits.c $(K_LIB),,measures timeout=240)
$(call vm_test,kernel,registering,$(K)/registering.c $(K)/lib/bk_fuse.c $(K_LIB),-pthread,races timeout=240)
$(call vm_test,kernel,orders,$(K)/orders.c $(K_LIB),-pthread,measures timeout=300)
$(call vm_test,kernel,fork_exec,$(K)/fork_exec.c $(K_LIB),,ci timeout=90)
$(call vm_test,kernel,holders,$(K)/holders.c $(K_LIB),-pthread,timeout=90)
$(call vm_test,kernel,seen,$(K)/seen.c $(K_LIB),,timeout=150)
$(call vm_test,kernel,unloading,$(K)/unloading.c $(K_LIB),,ci timeout=240)
$(call vm_test,kernel,lifetime,$(K)/lifetime.c $(K_LIB),,ci races timeout=90)
$(call vm_test,kernel,ends,$(K)/ends.c $(K_LIB),,ci races timeout=180)
$(call vm_test,kernel,refused,$(K)/refused.c $(K_LIB),,timeout=90)
$(call vm_test,kernel,refused_dax,$(K)/refused_dax.c $(K_LIB),,nvdimm timeout=120)
$(call vm_test,kernel,readonly,$(K)/readonly.c $(K_LIB),,timeout=90)
$(call vm_test,kernel,abi,$(K)/abi.c $(K_LIB),,timeout=120)
$(call vm_test,kernel,tracked,$(K)/tracked.c $(K_LIB),pkg:libibverbs,timeout=90)
$(call vm_test,kernel,footprint,$(K)/footprint.c $(K_LIB),,measures timeout=120)
$(call vm_test,kernel,listing,$(K)/listing.c $(K_LIB),,timeout=90)
$(call vm_test,kernel,select,$(K)/select.c $(K_LIB),,timeout=180)
$(call vm_test,kernel,waiting,$(K)/waiting.c $(K_LIB),,races timeout=180)
$(call vm_test,kernel,query_cost,$(K)/query_cost.c $(K_LIB),,measures timeout=600)
$(call vm_test,kernel,batch,$(K)/batch.c $(K)/lib/bk_batch.c $(K_LIB),,timeout=180)
$(call vm_test,kernel,batch_memory,$(K)/batch_memory.c $(K)/lib/bk_batch.c $(K_LIB),,measures timeout=180)
$(call vm_test,kernel,batch_turns,$(K)/batch_turns.c $(K)/lib/bk_batch.c $(K_LIB),,long timeout=300)
$(call vm_test,kernel,driver_pins,$(K)/driver_pins.c $(K)/lib/bk_driver.c $(K_LIB),pkg:libibverbs pkg:liburing,timeout=300)
$(call vm_test,kernel,movable,$(K)/movable.c $(K)/lib/bk_driver.c $(K_LIB),pkg:libibverbs pkg:liburing,movable timeout=240)
$(call vm_test,kernel,cma,$(K)/cma.c $(K)/lib/bk_driver.c $(K_LIB),pkg:libibverbs pkg:liburing,cma kernel=debug timeout=240)
$(call vm_test,kernel,device_memory,$(K)/device_memory.c $(K)/lib/bk_driver.c $(K)/lib/bk_mirror.c $(K_LIB),pkg:libibverbs pkg:liburing,kernel=debug timeout=240)

$(call vm_helper,kernel,trace_act,$(K)/trace_act.c $(K_LIB))
$(call vm_script,kernel,$(K)/tracing.sh,bpftrace measures timeout=400)
