using System.Runtime.CompilerServices;

// Every type that an import passes is blittable; this makes the compiler reject one that is not.
[assembly: DisableRuntimeMarshalling]
