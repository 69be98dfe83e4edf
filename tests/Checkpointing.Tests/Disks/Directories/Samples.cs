using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>Trees with all that there can be in one.</summary>
internal static class Samples
{
    internal static void Fill(string root)
    {
        RawFiles.MakeDirectory(root);
        RawFiles.MakeDirectory($"{root}/sub");
        Write($"{root}/linked", [1, 2, 3]);
        RawFiles.Link($"{root}/linked", $"{root}/sub/other");
        RawFiles.Link($"{root}/linked", $"{root}/again");
        Write($"{root}/empty", []);
        Write($"{root}/\xff\xfe no text", [4]);
        Write($"{root}/{new string('l', 120)}", new byte[100_000]);
        RawFiles.MakeDirectory($"{root}/{new string('d', 200)}");
        Write($"{root}/{new string('d', 200)}/{new string('e', 200)}", [5]);
        RawFiles.MakeSymlink($"/nowhere/{new string('t', 300)}", $"{root}/link");
        RawFiles.MakeSymlink("\xfe", $"{root}/raw link");
        RawFiles.MakeNode($"{root}/pipe", RawFileType.Fifo);
        RawFiles.MakeNode($"{root}/socket", RawFileType.Socket);
        RawFiles.MakeNode($"{root}/null", RawFileType.CharacterDevice, (1, 3));
        RawFiles.MakeNode($"{root}/disk", RawFileType.BlockDevice, (259, 70_000));
        Write($"{root}/owned", [6]);
        RawFiles.SetOwner($"{root}/owned", 3_000_000, 4_000_000_000);
        RawFiles.SetPermissions($"{root}/owned", 2541 /* 4755 */);
        RawAttributes.Set($"{root}/owned", "user.a=b%", [0, 10, 255]);
        RawAttributes.Set($"{root}/owned", "trusted.none", []);
        RawAttributes.Set($"{root}/owned", "security.capability", Convert.FromHexString("0100000200040000000000000000000000000000"));
        RawFiles.SetModified($"{root}/owned", new RawTime(-2, 250_000_000));
        RawFiles.SetOwner($"{root}/link", 7, 8);
        RawFiles.SetModified($"{root}/link", new RawTime(1_000_000_000, 1));
        RawFiles.SetPermissions($"{root}/sub", 1023 /* 1777 */);
        RawAttributes.Set($"{root}/sub", "user.sub", [1]);
        RawFiles.SetModified($"{root}/sub", new RawTime(5, 999_999_999));
        RawFiles.SetPermissions(root, 488 /* 0750 */);
        RawFiles.SetModified(root, new RawTime(9, 9));
    }

    /// <summary>Changes a tree by some random steps of a guest.</summary>
    internal static void Change(string root, Random random, int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            string one = Pick(root, random), other = Pick(root, random);
            try
            {
                Step(one, other, random);
            }
            catch (IOException)
            {
                // What makes no sense as the tree is; a guest's program would have an error, too.
            }
        }
    }

    private static void Step(string one, string other, Random random)
    {
        switch (random.Next(10))
        {
            case 0:
                RawFiles.MakeDirectory(one);
                break;
            case 1:
                RawFiles.RemoveTree(one);
                break;
            case 2:
                RawFiles.Rename(one, other);
                break;
            case 3:
                RawFiles.Link(one, other);
                break;
            case 4:
                RawFiles.MakeSymlink(other, one);
                break;
            case 5:
                RawFiles.SetOwner(one, (uint)random.Next(9), (uint)random.Next(9));
                break;
            case 6 when RawFiles.TryStat(one) is { Type: not RawFileType.Symlink }:
                RawFiles.SetPermissions(one, random.Next(4096));
                RawAttributes.Set(one, "user.step", [(byte)random.Next(256)]);
                break;
            default:
                byte[] bytes = new byte[random.Next(9000)];
                random.NextBytes(bytes);
                if (RawFiles.TryStat(one) is { Type: RawFileType.Regular })
                {
                    using var file = new FileStream(one, FileMode.Append);
                    file.Write(bytes);
                }
                else
                {
                    Write(one, bytes);
                }

                break;
        }
    }

    private static string Pick(string root, Random random)
    {
        string path = root;
        for (int depth = random.Next(1, 4); depth > 0; depth--)
        {
            path += $"/n{random.Next(4)}";
        }

        return path;
    }

    internal static void Write(string path, byte[] bytes)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = RawFiles.Create(path);
        RandomAccess.Write(file, bytes, 0);
    }
}
