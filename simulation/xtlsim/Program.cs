using XenTwoLevelCkpt.Simulation.Events;

foreach (int n in new[] { 1000, 10000, 1000000 })
{
    for (int i = 0; i < 4; i++)
    {
        (double s, long t) = HoldModel.Run(n, 30_000_000, 1);
        Console.WriteLine($"{n} {30 / s:F1} M/s {t}");
    }
}
