// Counts the instructions that a guest executes, those of programs apart from
// those of the kernel, in a file that others may read at any time:
//
//	-plugin count.so,out=FILE    two 64-bit numbers a CPU: programs, kernel
//
// The few declarations of QEMU's plugin interface (version 2 and later) that
// it needs are its own, so that it builds without QEMU's sources. A block of
// instructions that an exception leaves early is counted whole.
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t plugin_id;
struct block;
typedef void (*on_translate)(plugin_id, struct block *);
typedef void (*on_execute)(unsigned int cpu, void *data);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translate);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, on_execute, int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern uint64_t qemu_plugin_tb_vaddr(const struct block *);

#define SHOWN __attribute__((visibility("default")))
SHOWN int qemu_plugin_version = 2;

enum { CPUS = 16, KERNEL = 63 };
static volatile uint64_t *counts;

// data holds the number of instructions and, in the highest bit, whose.
static void execute(unsigned int cpu, void *data)
{
	uintptr_t v = (uintptr_t)data;

	counts[2 * (cpu % CPUS) + (v >> KERNEL)] += v & 0xffff;
}

static void translate(plugin_id id, struct block *b)
{
	uintptr_t v = qemu_plugin_tb_n_insns(b);

	v |= (uintptr_t)(qemu_plugin_tb_vaddr(b) >> KERNEL) << KERNEL;
	qemu_plugin_register_vcpu_tb_exec_cb(b, execute, 0, (void *)v);
}

SHOWN int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	int fd = -1;

	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			fd = open(argv[i] + 4, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 16 * CPUS))
		return -1;
	counts = mmap(NULL, 16 * CPUS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
