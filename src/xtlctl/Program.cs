using XenTwoLevelCkpt.Control;
using XenTwoLevelCkpt.Hypervisor.Xen;

return await new App(XenHypervisor.Open, Console.Out, Console.Error).RunAsync(args).ConfigureAwait(false);
