namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A domain's memory: its money, and all payments that it has made and taken. It is what a checkpoint keeps.</summary>
/// <param name="Money">What it has.</param>
/// <param name="Last">The payment before, and through it those before that; null for none.</param>
internal sealed record Account(long Money, Payment? Last)
{
    /// <summary>The payments, newest first.</summary>
    internal IEnumerable<Payment> Payments
    {
        get
        {
            for (Payment? payment = Last; payment is not null; payment = payment.Before)
            {
                yield return payment;
            }
        }
    }

    /// <summary>A payment is made.</summary>
    internal Account Make(long number, long money) => new(Money - money, new Payment(number, IsMade: true, Last));

    /// <summary>A payment is taken.</summary>
    internal Account Take(long number, long money) => new(Money + money, new Payment(number, IsMade: false, Last));
}

/// <summary>A payment, as one of its two domains remembers it.</summary>
/// <param name="Number">Its number, which no other payment of a run has.</param>
/// <param name="IsMade">True where the domain made it; false where it took it.</param>
/// <param name="Before">The one before it; null for none.</param>
internal sealed record Payment(long Number, bool IsMade, Payment? Before);
