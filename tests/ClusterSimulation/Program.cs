using XenTwoLevelCkpt.ClusterSimulation;

return SimulationProgram.Run(args, Console.Out, Console.Error);
