/* PID 1 of every Atlas container. It runs one command, and nothing in the container outlives it. Without an order it
 * waits: a container to work in.
 *
 * As `attend` it is put into such a container by the engine's exec, and runs one of many commands: all that descends from
 * its command is killed with it, since what loses its parent falls to the nearest subreaper above, which it is. As `end` it
 * kills whatever was started with a certain text in its environment, as `sweep` everything but PID 1. All that only where it
 * was put in from outside (its parent has no number here).
 *
 * stdin, held open by the worker:
 *   end of file    the worker is gone or wants an end: exit, and the kernel kills whatever is in the container
 *   'R'            run: struct order, then `size` bytes of NUL-terminated strings: nonce, argv..., environment...
 *   any other byte renews the lease; without one for LEASE seconds: exit
 * stdout and stderr belong to the command. Once it has ended, all that it left behind is killed, and the last thing on
 * both is  <nonce><exit|timeout> <code> <kills by the out-of-memory killer> <microseconds>\n
 *
 * Freestanding: it must start in images that have no libc. Non-dumpable: the command has the same uid, and must neither
 * trace it nor reach its stdin. Only SIGCHLD is blocked: what PID 1 neither blocks nor handles, its container cannot send.
 * (To an attendant it can. One that ends without a last word tells the worker that a sweep is due.)
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/wait.h>

enum { LEASE = 3, GRACE = 30, CHASE = 1, LARGEST = 16 << 20, SECOND = 1000000, STRINGS = 8192 };
#define NEVER (~0ul >> 1)

struct order { unsigned size, argc, envc, timeout_ms; };
struct timespec_ { long seconds, nanoseconds; };
struct trailer { char text[256]; unsigned long length; };
struct entry { unsigned long inode; long offset; unsigned short size; unsigned char type; char name[]; };

/* --- the kernel --------------------------------------------------------------------------------------------------- */

static long call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "no system calls for this architecture yet"
#endif
}
#define SYS(name, a, b, c, d) call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

__attribute__((noreturn)) static void leave(int code)
{
	for (;;)
		SYS(exit_group, code, 0, 0, 0);
}

static unsigned long now(void) /* microseconds */
{
	struct timespec_ t;
	SYS(clock_gettime, 1 /* CLOCK_MONOTONIC */, &t, 0, 0);
	return (unsigned long)t.seconds * SECOND + (unsigned long)t.nanoseconds / 1000;
}

static int wait_for(struct pollfd *files, unsigned count, unsigned long until)
{
	unsigned long t = now(), left = until > t ? until - t : 0;
	struct timespec_ limit = { (long)(left / SECOND), (long)(left % SECOND * 1000) };
	return (int)call(__NR_ppoll, (long)files, count, (long)(until == NEVER ? 0 : &limit), 0, 8, 0);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static unsigned long length(const char *s)
{
	unsigned long n = 0;
	while (s[n])
		n++;
	return n;
}

static char *append(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	return to;
}

static char *append_number(char *to, unsigned long n)
{
	char digits[24];
	int i = 0;
	do
		digits[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		*to++ = digits[--i];
	return to;
}

/* One write, so that it stays one line. */
static void say(const char *name, const char *why)
{
	static char line[STRINGS + 128];
	char *to = append(line, "atlas: ");
	if (length(name) < STRINGS)
		to = append(to, name);
	to = append(append(append(to, ": "), why), "\n");
	SYS(write, 2, line, to - line, 0);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static const char *reason(long error)
{
	switch (error) {
	case -ENOENT: case -ENOTDIR: return "not found";
	case -EACCES: return "Permission denied";
	case -ENOEXEC: return "Exec format error";
	case -E2BIG: return "Argument list too long";
	case -EISDIR: return "Is a directory";
	case -ENOMEM: return "Cannot allocate memory";
	case -ENAMETOOLONG: return "File name too long";
	default: return "cannot be started";
	}
}

static const char *variable(char **environment, const char *prefix)
{
	for (; *environment; environment++) {
		unsigned long i = 0;
		while (prefix[i] && (*environment)[i] == prefix[i])
			i++;
		if (!prefix[i])
			return *environment + i;
	}
	return "";
}

/* Try every directory of PATH, as a shell does; a refusal outweighs a later "not found", but a directory that may not
 * be searched holds no program. */
static long execute(char **argv, char **environment)
{
	static char file[STRINGS];
	const char *name = argv[0], *path = variable(environment, "PATH=");
	long error, worst = -ENOENT;
	for (const char *c = name; *c; c++)
		if (*c == '/')
			return SYS(execve, name, argv, environment, 0);
	if (!*name)
		return -ENOENT;
	for (;;) {
		char *to = file;
		while (*path && *path != ':' && to < file + STRINGS / 2)
			*to++ = *path++;
		if (to == file)
			*to++ = '.';
		if (length(name) > STRINGS / 2 - 2)
			return -ENAMETOOLONG;
		*to++ = '/';
		*append(to, name) = 0;
		error = SYS(execve, file, argv, environment, 0);
		if (error != -ENOENT && error != -ENOTDIR && SYS(faccessat, AT_FDCWD, file, 0, 0) == 0)
			worst = error;
		if (worst != -ENOENT && worst != -EACCES)
			return worst;
		while (*path && *path != ':')
			path++;
		if (!*path++)
			return worst;
	}
}

__attribute__((noreturn)) static void become(char **argv, char **environment, unsigned long mask)
{
	SYS(setsid, 0, 0, 0, 0);
	SYS(rt_sigprocmask, SIG_UNBLOCK, &mask, 0, 8);
	long null = SYS(openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
	if (null >= 0)
		SYS(dup3, null, 0, 0, 0);
	else
		SYS(close, 0, 0, 0, 0);
	if (null > 0)
		SYS(close, null, 0, 0, 0);
	long error = execute(argv, environment);
	say(argv[0], reason(error));
	leave(error == -ENOENT || error == -ENOTDIR ? 127 : 126);
}

/* How often the out-of-memory killer has struck in this container: cgroup v2, else v1. */
static unsigned long oom_kills(void)
{
	static const char key[] = "oom_kill ";
	char text[2048];
	long file = SYS(openat, AT_FDCWD, "/sys/fs/cgroup/memory.events", O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		file = SYS(openat, AT_FDCWD, "/sys/fs/cgroup/memory/memory.oom_control", O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		return 0;
	long size = SYS(read, file, text, sizeof text - 1, 0);
	SYS(close, file, 0, 0, 0);
	if (size < 0)
		size = 0;
	text[size] = 0;
	for (char *line = text; *line;) {
		unsigned long i = 0, n = 0;
		while (key[i] && line[i] == key[i])
			i++;
		if (!key[i]) {
			for (line += i; *line >= '0' && *line <= '9'; line++)
				n = n * 10 + (unsigned long)(*line - '0');
			return n;
		}
		while (*line && *line++ != '\n')
			;
	}
	return 0;
}

/* --- the end of everything ---------------------------------------------------------------------------------------- */

static unsigned long number(const char *s)
{
	unsigned long n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (unsigned long)(*s - '0');
	return n;
}

static unsigned long parent_of(const char *process)
{
	char path[64], text[256], *to = path;
	if (length(process) > 20)
		return 0;
	*append(append(append(to, "/proc/"), process), "/stat") = 0;
	long file = SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		return 0;
	long at = SYS(read, file, text, sizeof text - 1, 0);
	SYS(close, file, 0, 0, 0);
	text[at > 0 ? at : 0] = 0;
	while (at > 0 && text[at] != ')') /* the last one: the name in front may hold others */
		at--;
	return at > 0 && at + 4 < (long)sizeof text ? number(text + at + 4) : 0; /* ") S <parent>" */
}

static int is_child_of(const char *process, const void *parent)
{
	return parent_of(process) == *(const unsigned long *)parent;
}

static int bears(const char *process, const void *mark)
{
	static char text[32768];
	const char *wanted = mark;
	char path[64];
	unsigned long size = length(wanted), kept = 0, i;
	int found = 0;
	if (length(process) > 20)
		return 0;
	*append(append(append(path, "/proc/"), process), "/environ") = 0;
	long file = SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), got;
	if (file < 0)
		return 0;
	while (!found && (got = SYS(read, file, text + kept, sizeof text - kept, 0)) > 0) {
		unsigned long end = kept + (unsigned long)got;
		for (unsigned long at = 0; !found && at + size <= end; at++) {
			for (i = 0; i < size && text[at + i] == wanted[i]; i++)
				;
			found = i == size;
		}
		kept = end < size ? end : size - 1; /* it may go on in what is read next */
		for (i = 0; i < kept; i++)
			text[i] = text[end - kept + i];
	}
	SYS(close, file, 0, 0, 0);
	return found;
}

/* Kill the processes that are meant; how many there were, or -1 if nothing can be seen of processes here. */
static int kill_those(int (*meant)(const char *, const void *), const void *which)
{
	static char entries[32768];
	int count = 0;
	long processes = SYS(openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), size;
	if (processes < 0)
		return -1;
	while ((size = SYS(getdents64, processes, entries, sizeof entries, 0)) > 0)
		for (long at = 0; at < size;) {
			struct entry *entry = (struct entry *)(entries + at);
			at += entry->size;
			if (number(entry->name) && meant(entry->name, which)) {
				SYS(kill, number(entry->name), SIGKILL, 0, 0);
				count++;
			}
		}
	SYS(close, processes, 0, 0, 0);
	return count;
}

static void kill_children(void)
{
	unsigned long self = (unsigned long)SYS(getpid, 0, 0, 0, 0);
	if (kill_those(is_child_of, &self) < 0)
		SYS(kill, -1, SIGKILL, 0, 0);
}

/* Until there are none: they may have forked meanwhile. */
__attribute__((noreturn)) static void end_all_with(const char *mark)
{
	unsigned long until = now() + CHASE * SECOND;
	while (*mark && now() < until && kill_those(bears, mark) > 0)
		wait_for(0, 0, now() + SECOND / 1000);
	leave(0);
}

/* Kill and reap what is left; its status if `child` is among it. PID 1 kills all at once. An attendant kills its
 * children, whose children become its own, until there are none; who forks faster than that is killed with all the rest:
 * nothing escapes a signal to everybody. */
static int kill_all(int attendant, int child, int *status)
{
	unsigned long until = now() + CHASE * SECOND;
	int got, result, ended = 0, wait = 0;
	for (;;) {
		if (!attendant || now() >= until)
			SYS(kill, -1, SIGKILL, 0, 0);
		else
			kill_children();
		for (wait = 0; (got = (int)SYS(wait4, -1, &result, wait, 0)) > 0; wait = WNOHANG)
			if (got == child && !ended) { /* only once: its number may come again, for an orphan */
				*status = result;
				ended = 1;
			}
		if (got < 0)
			return ended;
	}
}

/* --- the order ---------------------------------------------------------------------------------------------------- */

static int attendant;

/* The end, when nobody is there to hear a last word. The kernel kills whatever PID 1 leaves behind. */
__attribute__((noreturn)) static void finish(int code)
{
	int status;
	if (attendant)
		kill_all(1, 0, &status);
	leave(code);
}

static void take(void *to, unsigned long size, unsigned long until)
{
	for (char *at = to; size;) {
		struct pollfd in = { 0, POLLIN, 0 };
		if (wait_for(&in, 1, until) == 0)
			leave(1);
		long n = SYS(read, 0, at, size, 0);
		if (n <= 0)
			leave(1);
		at += n;
		size -= (unsigned long)n;
	}
}

/* Pointers to the strings of an order: nonce, argv, 0, environment, 0. */
static char **receive(struct order *order, unsigned long until)
{
	take(order, sizeof *order, until);
	unsigned long count = (unsigned long)order->argc + order->envc + 3;
	if (order->size > LARGEST || count > LARGEST || !order->argc || !order->size)
		leave(2);
	long room = call(__NR_mmap, 0, (long)(count * sizeof(char *) + order->size), 3 /* read, write */,
	                 0x22 /* private, anonymous */, -1, 0);
	if (room < 0 && room > -4096)
		leave(2);
	char **strings = (char **)room, *text = (char *)(strings + count), *end = text + order->size;
	take(text, order->size, until);
	if (end[-1])
		leave(2);
	for (unsigned long i = 0; i < count; i++) {
		if (i == order->argc + 1ul || i == count - 1) {
			strings[i] = 0;
			continue;
		}
		if (text >= end)
			leave(2);
		strings[i] = text;
		text += length(text) + 1;
	}
	return strings;
}

static void end_of(struct trailer *trailer, const char *nonce, int late, int status, unsigned long oom, unsigned long since)
{
	char *to = append(trailer->text, nonce);
	to = append(to, late ? "timeout " : "exit ");
	to = append_number(to, (unsigned long)(status & 127 ? 128 + (status & 127) : status >> 8 & 255));
	*to++ = ' ';
	to = append_number(to, oom_kills() - oom);
	*to++ = ' ';
	to = append_number(to, now() - since);
	*to++ = '\n';
	trailer->length = (unsigned long)(to - trailer->text);
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

__attribute__((noreturn, used)) void keeper(long *stack)
{
	char **argv = (char **)(stack + 1);
	unsigned long mask = 1ul << (SIGCHLD - 1), lease = now() + GRACE * SECOND, deadline = NEVER, since = 0, oom = 0;
	static struct trailer trailer;
	struct order order;
	char **strings = 0;
	int child = 0, status = 0;

	if (SYS(getpid, 0, 0, 0, 0) != 1) {
		if (*stack < 2 || *stack > 3 || SYS(getppid, 0, 0, 0, 0) != 0) {
			say("keeper", "runs as PID 1 of a container only");
			leave(125);
		}
		if (same(argv[1], "sweep")) {
			SYS(kill, -1, SIGKILL, 0, 0);
			leave(0);
		}
		if (same(argv[1], "end"))
			end_all_with(*stack == 3 ? argv[2] : "");
		attendant = 1;
		SYS(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0);
	}
	SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0);
	SYS(rt_sigprocmask, SIG_BLOCK, &mask, 0, 8);
	long signals = SYS(signalfd4, -1, &mask, 8, O_CLOEXEC | O_NONBLOCK);
	struct pollfd files[4] = { { 0, POLLIN, 0 }, { (int)signals, POLLIN, 0 }, { -1, POLLOUT, 0 }, { -1, POLLOUT, 0 } };
	for (;;) {
		wait_for(files, 4, lease < deadline ? lease : deadline);
		if (files[0].revents) {
			char byte;
			if (SYS(read, 0, &byte, 1, 0) != 1)
				finish(0);
			lease = now() + LEASE * SECOND;
			if (byte == 'R' && !strings) {
				strings = receive(&order, lease);
				if (length(strings[0]) > 64)
					leave(2);
				oom = oom_kills();
				since = now();
				deadline = since + order.timeout_ms * 1000ul;
				child = (int)SYS(clone, SIGCHLD, 0, 0, 0);
				if (!child)
					become(strings + 1, strings + order.argc + 2, mask);
			}
		}
		if (now() >= lease)
			finish(0);
		if (files[1].revents) {
			char drained[128];
			while (SYS(read, signals, drained, sizeof drained, 0) > 0)
				;
		}
		int got, ended = child < 0, late = child > 0 && now() >= deadline, result;
		while ((got = (int)SYS(wait4, -1, &result, WNOHANG, 0)) > 0)
			if (got == child && !ended) { /* only once: its number may come again, for an orphan */
				status = result;
				ended = 1;
			}
		late = late && !ended;
		if (ended || late) {
			kill_all(attendant, ended ? 0 : child, &status);
			if (child < 0)
				status = 126 << 8;
			end_of(&trailer, strings[0], late, status, oom, since);
			child = 0;
			deadline = NEVER;
			files[2].fd = 1;
			files[3].fd = 2;
		}
		/* A pipe that is writable takes these few bytes at once: keeping the lease never waits for a slow reader. */
		for (int i = 2; i < 4; i++)
			if (files[i].fd >= 0 && files[i].revents) {
				SYS(write, files[i].fd, trailer.text, trailer.length, 0);
				files[i].fd = -1;
			}
	}
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call keeper\n");
#else
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl keeper\n");
#endif
