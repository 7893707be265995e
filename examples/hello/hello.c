#include <stdio.h>
#include <sys/utsname.h>

int main(int argc, char **argv)
{
	struct utsname name;

	if (uname(&name) != 0) {
		perror("uname");
		return 1;
	}
	printf("%s, %s on %s.\n", GREETING, argc > 1 ? argv[1] : "you", name.machine);
	return 0;
}
